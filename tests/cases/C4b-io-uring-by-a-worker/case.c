#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FLAGS IOSQE_ASYNC

static struct io_uring_params p;
static char *sq, *cq;
static struct io_uring_sqe *sqes;
static int ring;

/* One request, and its result. */
static int play(struct io_uring_sqe request) {
  unsigned *tail = (unsigned *)(sq + p.sq_off.tail), *mask = (unsigned *)(sq + p.sq_off.ring_mask);
  unsigned *head = (unsigned *)(cq + p.cq_off.head), *cmask = (unsigned *)(cq + p.cq_off.ring_mask);
  unsigned at = *tail & *mask;
  request.flags = FLAGS;
  sqes[at] = request;
  ((unsigned *)(sq + p.sq_off.array))[at] = at;
  __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) < 0) return -1;
  int result = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))[*head & *cmask].res;
  __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
  return result;
}

int main(void) {
  int prot = PROT_READ | PROT_WRITE;
  ring = syscall(SYS_io_uring_setup, 4, &p);
  if (ring < 0) return 1;
  sq = mmap(0, p.sq_off.array + p.sq_entries * 4, prot, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), prot, MAP_SHARED, ring,
            IORING_OFF_CQ_RING);
  sqes = mmap(0, p.sq_entries * sizeof *sqes, prot, MAP_SHARED, ring, IORING_OFF_SQES);
  if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED) return 2;
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("PORT")))};
  inet_pton(AF_INET, getenv("PEER4"), &peer.sin_addr);
  int s = socket(AF_INET, SOCK_STREAM, 0);
  if (play((struct io_uring_sqe){.opcode = IORING_OP_CONNECT, .fd = s, .addr = (unsigned long)&peer,
                                 .off = sizeof peer}))
    return 3;
  return 0;
}
