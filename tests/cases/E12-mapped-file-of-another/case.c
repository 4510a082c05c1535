#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void) {
  char path[96], room[4];
  int ready[2];
  if (pipe(ready))
    return 1;
  void *at = (void *)0x700000000000;
  pid_t child = fork();
  if (child == 0) {
    int file = open(getenv("K"), O_RDONLY);
    char *text = mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 0);
    unlink(getenv("K"));
    close(file);
    if (text == at && write(ready[1], text, 1) == 1)
      pause();
    _exit(1);
  }
  close(ready[1]);
  if (read(ready[0], room, 1) != 1)
    return 2;
  snprintf(path, sizeof path, "/proc/%d/map_files/%lx-%lx", child, (long)at, (long)at + 4096);
  int good = read(open(path, O_RDONLY), room, sizeof room) == sizeof room;
  kill(child, SIGKILL);
  waitpid(child, 0, 0);
  return !good;
}
