dpkg-query --show cron logrotate sudo
