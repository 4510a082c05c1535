#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static char text[16];
static int told[2];

static void *thread(void *nothing) {
  pid_t id = syscall(SYS_gettid);
  int file = open(getenv("K"), O_RDONLY);
  if (read(file, text, sizeof text) > 0 && write(told[1], &id, sizeof id) == sizeof id)
    pause();
  return nothing;
}

int main(void) {
  pid_t child, id;
  char found[5];
  if (pipe(told))
    return 1;
  if ((child = fork()) == 0) {
    pthread_t other;
    pthread_create(&other, 0, thread, 0);
    pause();
  }
  if (read(told[0], &id, sizeof id) != sizeof id || id == child)
    return 2;
  struct iovec here = {found, sizeof found}, there = {text, sizeof found};
  int good = process_vm_readv(id, &here, 1, &there, 1, 0) == sizeof found && found[0] == 't';
  kill(child, SIGKILL);
  waitpid(child, 0, 0);
  return !good;
}
