su --pty root -c "head -c 4 '$K'" > /dev/null
