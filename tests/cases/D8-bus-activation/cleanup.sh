rm -f /etc/dbus-1/system.d/case-d8.conf /usr/local/bin/case-d8 /usr/share/dbus-1/system-services/org.example.CaseD8.service
