/* Opens a file through io_uring, by a thread of the kernel's: with "poll" the
   one that watches the ring, with "worker" one of the pool. Reads four bytes. */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct ring {
    int fd;
    struct io_uring_params params;
    char *queue;
    struct io_uring_sqe *entries;
    char *done;
};

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static unsigned *at(char *base, unsigned offset)
{
    return (unsigned *)(base + offset);
}

static void set(struct ring *ring, unsigned flags)
{
    memset(ring, 0, sizeof *ring);
    ring->params.flags = flags;
    ring->params.sq_thread_idle = 10000;
    ring->fd = syscall(SYS_io_uring_setup, 4, &ring->params);
    must(ring->fd >= 0, "io_uring_setup");
    struct io_uring_params *p = &ring->params;
    int rights = PROT_READ | PROT_WRITE, how = MAP_SHARED | MAP_POPULATE;
    ring->queue = mmap(0, p->sq_off.array + p->sq_entries * 4, rights, how, ring->fd, IORING_OFF_SQ_RING);
    ring->done = mmap(0, p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe), rights, how, ring->fd,
                      IORING_OFF_CQ_RING);
    ring->entries = mmap(0, p->sq_entries * sizeof(struct io_uring_sqe), rights, how, ring->fd, IORING_OFF_SQES);
    must(ring->queue != MAP_FAILED && ring->done != MAP_FAILED && ring->entries != MAP_FAILED, "mmap");
}

static int run(struct ring *ring, struct io_uring_sqe entry)
{
    struct io_uring_params *p = &ring->params;
    unsigned *tail = at(ring->queue, p->sq_off.tail), place = *tail & *at(ring->queue, p->sq_off.ring_mask);
    ring->entries[place] = entry;
    at(ring->queue, p->sq_off.array)[place] = place;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    unsigned *head = at(ring->done, p->cq_off.head), *end = at(ring->done, p->cq_off.tail);
    if (p->flags & IORING_SETUP_SQPOLL) {
        unsigned flags = __atomic_load_n(at(ring->queue, p->sq_off.flags), __ATOMIC_ACQUIRE);
        if (flags & IORING_SQ_NEED_WAKEUP)
            syscall(SYS_io_uring_enter, ring->fd, 0, 0, IORING_ENTER_SQ_WAKEUP, 0, 0);
        /* The own thread does nothing for it. */
        while (__atomic_load_n(end, __ATOMIC_ACQUIRE) == *head)
            usleep(1000);
    } else {
        must(syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) == 1, "io_uring_enter");
    }
    struct io_uring_cqe *answers = (struct io_uring_cqe *)(ring->done + p->cq_off.cqes);
    int result = answers[*head & *at(ring->done, p->cq_off.ring_mask)].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    return result;
}

int main(int argc, char **argv)
{
    must(argc == 3, "arguments");
    int poll = strcmp(argv[1], "poll") == 0;
    struct ring ring;
    set(&ring, poll ? IORING_SETUP_SQPOLL : 0);
    struct io_uring_sqe entry = {.opcode = IORING_OP_OPENAT,
                                 .flags = poll ? 0 : IOSQE_ASYNC,
                                 .fd = AT_FDCWD,
                                 .addr = (unsigned long)argv[2],
                                 .open_flags = O_RDONLY};
    int file = run(&ring, entry);
    char bytes[4];
    must(file >= 0, "opening");
    must(read(file, bytes, sizeof bytes) == sizeof bytes, "reading");
    return 0;
}
