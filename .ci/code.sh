# To be sourced. code PATH ...: the lines of Rust files, or of all under a directory, without their comments, each as
# FILE:LINE:TEXT.
#
# Good enough to look for words in: it cuts a line at `//`, also inside a string.
code() {
    find "$@" -name '*.rs' | sort | while IFS= read -r file; do
        awk -v file="$file" '{ sub(/\/\/.*/, "") } /[^ \t]/ { print file ":" FNR ":" $0 }' "$file"
    done
}
