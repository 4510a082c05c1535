#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  struct io_uring_params p = {0};
  struct open_how how = {.flags = O_RDONLY};
  char room[8];
  int none = -1, prot = PROT_READ | PROT_WRITE, ring = syscall(SYS_io_uring_setup, 4, &p);
  if (ring < 0 || syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &none, 1)) return 1;
  char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, prot, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  char *cq = mmap(0, p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe), prot, MAP_SHARED, ring, IORING_OFF_CQ_RING);
  struct io_uring_sqe *sqes = mmap(0, p.sq_entries * sizeof *sqes, prot, MAP_SHARED, ring, IORING_OFF_SQES);
  if (sq == MAP_FAILED || cq == MAP_FAILED || sqes == MAP_FAILED) return 2;
  sqes[0] = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT2, .flags = IOSQE_IO_LINK, .fd = AT_FDCWD,
                                  .addr = (unsigned long)getenv("K"), .len = sizeof how,
                                  .off = (unsigned long)&how, .file_index = 1};
  sqes[1] = (struct io_uring_sqe){.opcode = IORING_OP_READ, .flags = IOSQE_FIXED_FILE, .fd = 0,
                                  .addr = (unsigned long)room, .len = sizeof room};
  unsigned *array = (unsigned *)(sq + p.sq_off.array);
  array[0] = 0;
  array[1] = 1;
  __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 2, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, 2, 2, IORING_ENTER_GETEVENTS, 0, 0) != 2) return 3;
  struct io_uring_cqe *done = (struct io_uring_cqe *)(cq + p.cq_off.cqes);
  return done[0].res || done[1].res < 1;
}
