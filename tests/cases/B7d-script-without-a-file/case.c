#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  const char *text = "#!/bin/sh -e\nread -r line < \"$K\"\n";
  char path[4096], *argv[] = {"job", 0};
  struct stat found;
  int memory = memfd_create("job", 0);
  if (write(memory, text, strlen(text)) < 0 || fstat(memory, &found))
    return 1;
  snprintf(path, sizeof path, "%s/.noted", getenv("WORK"));
  FILE *noted = fopen(path, "a");
  fprintf(noted, "memory %lu %lu\n", found.st_dev, found.st_ino);
  fclose(noted);
  syscall(SYS_execveat, memory, "", argv, environ, AT_EMPTY_PATH);
  return 2;
}
