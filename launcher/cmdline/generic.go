package cmdline

// genericArgs makes the arguments of a <generic> starter. Each <arg> is one
// argument, whatever blanks it holds. One that is written empty is an empty
// argument; one that becomes empty when its variables are replaced is left out.
func genericArgs(in *Input, s *scope) ([]string, error) {
	all, err := s.properties(in)
	if err != nil {
		return nil, err
	}
	var args []string
	for i, arg := range in.Starter.Args {
		if arg.ProcessProperties {
			if len(args) == 0 {
				return nil, problemf(ErrInvalid, "<processProperties> stands before the program; begin with an <arg>")
			}
			properties, err := visible(all)
			if err != nil {
				return nil, err
			}
			args = definitions(args, properties)
			continue
		}
		value, err := s.render(argSubject(i), arg.Value)
		if err != nil {
			return nil, err
		}
		if value != "" || arg.Value == "" {
			args = append(args, value)
		}
	}
	if len(args) == 0 || args[0] == "" {
		return nil, problemf(ErrInvalid, "<generic> has no program; give it as the first <arg>")
	}
	return args, nil
}
