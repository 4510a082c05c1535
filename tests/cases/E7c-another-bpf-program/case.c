#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
  /* r0 = 0; exit */
  struct bpf_insn code[] = {{.code = 0xb7}, {.code = 0x95}};
  union bpf_attr map, program;
  memset(&map, 0, sizeof map);
  map.map_type = BPF_MAP_TYPE_ARRAY;
  map.key_size = map.value_size = 4;
  map.max_entries = 1;
  /* Only a map: not told. */
  if (syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map) < 0)
    return 1;
  memset(&program, 0, sizeof program);
  program.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
  program.insns = (uintptr_t)code;
  program.insn_cnt = 2;
  program.license = (uintptr_t)"GPL";
  int loaded = syscall(SYS_bpf, BPF_PROG_LOAD, &program, sizeof program);
  int sockets[2];
  if (loaded < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, sockets))
    return 2;
  return setsockopt(sockets[0], SOL_SOCKET, SO_ATTACH_BPF, &loaded, sizeof loaded) != 0;
}
