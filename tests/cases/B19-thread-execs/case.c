#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *other(void *nothing) {
  execl("/bin/cat", "cat", getenv("K"), (char *)0);
  return nothing;
}

int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, other, 0);
  pthread_join(thread, 0);
  return 1;
}
