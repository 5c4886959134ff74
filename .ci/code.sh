# To be sourced: Rust sources, to look for words in. Each takes files, or directories to look for them in, and prints
# lines as FILE:LINE:TEXT.

# code PATH ...: all lines, without comments. Good enough: it cuts a line at `//`, also inside a string.
code() {
    find "$@" -name '*.rs' | sort | while IFS= read -r file; do
        awk -v file="$file" '{ sub(/\/\/.*/, "") } /[^ \t]/ { print file ":" FNR ":" $0 }' "$file"
    done
}

# shipped PATH ...: the same without unit tests and models, which stand at the end of a file.
shipped() {
    code "$@" | awk '
        { file = $0; sub(/:.*/, "", file); text = $0; sub(/^[^:]*:[0-9]*:/, "", text) }
        file != last { last = file; tests = 0 }
        text ~ /^#!?\[cfg\((all\()?test[,)]/ { tests = 1 }
        !tests'
}
