cd "$WORK"
sleep 60 | { echo $BASHPID > new; mv new shell; : > ready; exec bash; } &
until [ -e over ]; do sleep 0.1; done
kill %1
