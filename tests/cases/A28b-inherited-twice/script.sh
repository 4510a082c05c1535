( exec 7< "$K"; sh -c "exec head -c 4 <&7" )
