setfacl -m u:nobody:r "$K"
