set -e
tty > terminal.new
mv terminal.new terminal
until [ -e taken ]; do sleep 0.1; done
head -c 4 "$K" > /dev/null
