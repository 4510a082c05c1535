test "$(curl -s --unix-socket docker.sock http://docker/_ping)" = OK
