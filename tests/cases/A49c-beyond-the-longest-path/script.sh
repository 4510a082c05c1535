python3 - "$K_DIR" "$WORK" <<'END'
import os, sys
os.chdir(sys.argv[1])
for n in range(20):
    os.mkdir('d' * 250)
    os.chdir('d' * 250)
d = os.open('k', os.O_WRONLY | os.O_CREAT, 0o600)
os.write(d, b'secret')
of = os.fstat(d)
with open(sys.argv[2] + '/.noted', 'a') as noted:
    noted.write(f'deep {of.st_dev} {of.st_ino}\n')
assert os.read(os.open('k', os.O_RDONLY), 6) == b'secret'
END
