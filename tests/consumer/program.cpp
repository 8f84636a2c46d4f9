// The same as a program in C++17: the headers as they stand, a lambda as a job, owners by unique_ptr.
#include <weft/fork_inline.h>
#include <weft/testing.h>
#include <weft/weft.h>

#include <iostream>
#include <memory>

namespace {

struct ends_executor {
    void operator()(weft_executor *executor) const
    {
        weft_executor_destroy(executor);
    }
};

struct ends_future {
    void operator()(weft_future *future) const
    {
        weft_future_release(future);
    }
};

void *square(void *number)
{
    long &n = *static_cast<long *>(number);
    n *= n;
    return number;
}

} // namespace

int main()
{
    weft_executor_options options{};
    options.workers = 2;
    std::unique_ptr<weft_executor, ends_executor> executor(weft_executor_create(&options));
    long a = 3, both[] = {5, 6};
    std::unique_ptr<weft_future, ends_future> future(weft_submit(executor.get(), square, &a));
    void *value = nullptr;
    int error = weft_future_get(future.get(), &value);
    if (error == 0)
        error = weft_future_wait(future.get(), WEFT_MILLISECONDS(0.5));
    if (error == 0)
        error = weft_run(
            executor.get(),
            [](void *numbers) -> void * {
                long *n = static_cast<long *>(numbers);
                weft_task task;
                weft_fork_inline(&task, square, &n[1]);
                square(&n[0]);
                weft_join_inline(&task, square, &n[1]);
                n[0] += n[1];
                return nullptr;
            },
            both, nullptr);
    std::cout << a << " and " << both[0] << ": " << weft_strerror(error) << '\n';
    return error != 0 || value != &a || a != 9 || both[0] != 61;
}
