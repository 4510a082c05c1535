dd if=/dev/vda of=/dev/null bs=4096 count=1 status=none
debugfs -R 'cat /etc/shadow' /dev/vda > /dev/null 2>&1
