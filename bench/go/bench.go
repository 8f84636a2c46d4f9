// The Go programs: bench w2|w8|w9a [arguments]. They print the same lines as the C programs, see common/measure.h.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const hour = int64(time.Hour)

func argument(i int, otherwise int) int {
	if i+1 >= len(os.Args) {
		return otherwise
	}
	value, err := strconv.Atoi(os.Args[i+1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func cpu() int64 {
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) != nil {
		os.Exit(1)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func report(figure string, ns int64, n int) {
	fmt.Printf("%s\tns\t%.2f\n", figure, float64(ns)/float64(n))
}

// A goroutine a job, and a channel as its handle.
func submit(handles []chan struct{}) {
	for i := range handles {
		done := make(chan struct{})
		handles[i] = done
		go close(done)
	}
}

// Newest first, so that the goroutine that waits sleeps only about once.
func await(handles []chan struct{}) {
	for i := len(handles) - 1; i >= 0; i-- {
		<-handles[i]
	}
}

func w2() {
	runtime.GOMAXPROCS(argument(1, 2))
	n := argument(2, 1000000)
	handles := make([]chan struct{}, n)
	submit(handles[:100])
	await(handles[:100])
	figures := [][2]string{{"submit until all are done", "CPU time of it, all threads"},
		{"second batch, until all are done", "CPU time of it"}}
	for _, figure := range figures {
		before, start := cpu(), time.Now()
		submit(handles)
		await(handles)
		report(figure[0], int64(time.Since(start)), n)
		report(figure[1], cpu()-before, n)
	}
}

// Go has no gather; to receive from each channel is what stands for it.
func w8() {
	runtime.GOMAXPROCS(argument(1, 2))
	n := argument(2, 1000000)
	handles := make([]chan struct{}, n)
	submit(handles)
	await(handles)
	start := time.Now()
	await(handles)
	report("gather, a child that is done", int64(time.Since(start)), n)
	start = time.Now()
	submit(handles)
	await(handles)
	report("submit and gather, a child", int64(time.Since(start)), n)
}

func arm(timers []*time.Timer, figure string) {
	state := uint64(88172645463325252)
	start := time.Now()
	for i := range timers {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		timers[i] = time.AfterFunc(time.Duration(hour+int64(state%uint64(hour))), func() {})
	}
	report(figure, int64(time.Since(start)), len(timers))
}

func w9a() {
	timers := make([]*time.Timer, argument(1, 1000000))
	arm(timers, "arm, in fresh memory")
	start := time.Now()
	for _, timer := range timers {
		timer.Stop()
	}
	report("cancel", int64(time.Since(start)), len(timers))
	arm(timers, "arm again")
}

func main() {
	programs := map[string]func(){"w2": w2, "w8": w8, "w9a": w9a}
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "which workload?")
		os.Exit(1)
	}
	programs[os.Args[1]]()
}
