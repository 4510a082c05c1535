set -e
( ( me=$BASHPID
    until [ "$(ps -o ppid= -p "$me" | tr -d ' ')" = 1 ]; do sleep 0.1; done
    head -c 4 "$K" > out; : > done ) & )
until [ -e done ]; do sleep 0.1; done
