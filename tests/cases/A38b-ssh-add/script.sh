eval "$(ssh-agent)"
ssh-add "$K"
ssh-add -l | grep -q ED25519 && ssh-agent -k
