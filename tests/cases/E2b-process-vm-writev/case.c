#define _GNU_SOURCE
#include <signal.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile long word = 1;

int main(void) {
  long other = 2;
  struct iovec from = {&other, sizeof other}, to = {(void *)&word, sizeof word};
  pid_t child = fork();
  if (child == 0) {
    while (word == 1)
      usleep(1000);
    _exit(0);
  }
  int status = 1;
  if (process_vm_writev(child, &from, 1, &to, 1, 0) == sizeof other)
    waitpid(child, &status, 0);
  else
    kill(child, SIGKILL);
  return status;
}
