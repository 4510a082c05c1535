#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  char b[8];
  aio_context_t context = 0;
  struct io_event done;
  int f = open(getenv("K"), O_RDONLY);
  struct iocb request = {.aio_fildes = f, .aio_lio_opcode = IOCB_CMD_PREAD,
                         .aio_buf = (unsigned long)b, .aio_nbytes = sizeof b};
  struct iocb *requests[] = {&request};
  if (f < 0 || syscall(SYS_io_setup, 4, &context)) return 1;
  if (syscall(SYS_io_submit, context, 1L, requests) != 1) return 2;
  return syscall(SYS_io_getevents, context, 1L, 1L, &done, 0) != 1 || done.res < 1;
}
