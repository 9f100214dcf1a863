# Completion of berth for bash: source <(berth completion bash)

_berth() {
    local line=${COMP_LINE:0:COMP_POINT} word before value
    local -a found
    COMPREPLY=()
    mapfile -t found < <("$1" __complete -line "$line" 2>/dev/null)
    if [[ ${found[0]-} == :file ]]; then
        compopt -o default 2>/dev/null
        return
    fi
    # bash ends words at : and =, and wants what follows these.
    word=${line##*[[:space:]]}
    before=${word%"$2"}
    [[ $2 == [:=] ]] && before=$word
    for value in "${found[@]}"; do
        value=${value%%$'\t'*}
        value=${value#"$before"}
        [[ $before == [\"\']* ]] || printf -v value %q "$value"
        COMPREPLY+=("$value")
    done
}

complete -o nosort -F _berth berth 2>/dev/null || complete -F _berth berth
