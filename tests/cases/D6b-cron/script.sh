set -e
echo "* * * * * head -c 4 '$K' > '$WORK/out'; : > '$WORK/done'" | crontab -
echo "* * * * * root tail -c 4 '$K' > '$WORK/out2'; : > '$WORK/done2'" | sudo tee /etc/cron.d/case-d6b > /dev/null
until [ -e done ] && [ -e done2 ]; do sleep 0.1; done
