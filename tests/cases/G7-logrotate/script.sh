ls -l /var/log
