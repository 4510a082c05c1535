set -e
python3 - <<'END'
import ctypes, os
with open('reaper', 'w') as file:
    file.write(str(os.getpid()))
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
child = os.fork()
if child == 0:
    if os.fork() == 0:
        while os.getppid() == 1 or os.getppid() != int(open('reaper').read()):
            pass
        os.execvp('head', ['head', '-c', '4', os.environ['K']])
    os._exit(0)
os.waitpid(child, 0)
os.wait()
END
