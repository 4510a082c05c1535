#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char *as_link[] = {"link", 0}, *as_file[] = {"file", 0};
  int folder = open(argv[argc - 1], O_PATH | O_DIRECTORY | O_CLOEXEC);
  syscall(SYS_execveat, folder, "s", as_link, environ, AT_SYMLINK_NOFOLLOW);
  if (errno != ELOOP)
    return 1;
  syscall(SYS_execveat, folder, "p", as_file, environ, AT_SYMLINK_NOFOLLOW);
  return 2;
}
