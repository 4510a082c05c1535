userdel newcomer
