#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int probe(struct perf_event_attr *attr) {
  return syscall(SYS_perf_event_open, attr, -1, 0, -1, 0);
}

int main(void) {
  struct perf_event_attr attr;
  int kind;
  FILE *file = fopen("/sys/bus/event_source/devices/uprobe/type", "r");
  if (!file || fscanf(file, "%d", &kind) != 1)
    return 1;
  memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  /* A count of context switches: not told. */
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_CONTEXT_SWITCHES;
  if (probe(&attr) < 0)
    return 2;
  attr.type = kind;
  attr.config = 0;
  attr.config1 = (uintptr_t)"/lib/x86_64-linux-gnu/libc.so.6";
  attr.config2 = 0x30000;
  return probe(&attr) < 0 ? 3 : 0;
}
