setfacl -m u:nobody:r "$K"
setfacl -b "$K"
