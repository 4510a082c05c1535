python3 -c "import sys; print(len(open(sys.argv[1]).read()))" "$K"
