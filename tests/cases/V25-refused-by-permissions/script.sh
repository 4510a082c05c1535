setpriv --reuid=65534 --regid=65534 --clear-groups head -c 1 "$K"
test $? = 1
