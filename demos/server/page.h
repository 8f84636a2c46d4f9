/* page.h: the files of page/, compiled into the program. The table is made by embed.cmake; nobody writes to it. */
#ifndef SERVER_PAGE_H
#define SERVER_PAGE_H

#include <stddef.h>

struct page_file {
    const char *path; /* "/index.html" */
    const char *type; /* for Content-Type */
    const unsigned char *bytes;
    size_t size;
};

extern const struct page_file page_files[];
extern const size_t page_file_count;

#endif
