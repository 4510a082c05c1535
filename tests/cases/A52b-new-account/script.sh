useradd -M newcomer
echo newcomer:wordpass | chpasswd
