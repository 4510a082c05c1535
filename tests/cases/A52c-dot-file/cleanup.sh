rm -f /root/.netrc
