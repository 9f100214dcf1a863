#compdef berth
# Completion of berth for zsh: source <(berth completion zsh), after compinit;
# or this as a file _berth in a folder of $fpath.

_berth() {
    local -a lines values texts
    local line value
    lines=("${(@f)$("$words[1]" __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    if [[ $lines[1] == :file ]]; then
        _files
        return
    fi
    for line in $lines; do
        value=${line%%$'\t'*}
        [[ -n $value ]] || continue
        values+=("$value")
        texts+=("${value}${${line#$value}/$'\t'/  -- }")
    done
    (( $#values )) && compadd -l -V berth -d texts -a values
}

if [[ $funcstack[1] == _berth ]]; then
    _berth "$@"
else
    compdef _berth berth
fi
