package cmdline

import (
	"path"
	"strconv"
	"strings"
)

// javaArgs makes the arguments of a <java> starter.
func javaArgs(in *Input, s *scope) ([]string, error) {
	program, err := javaProgram(in, s)
	if err != nil {
		return nil, err
	}
	args := []string{program}

	vmType, err := s.render("vmType", in.Starter.VMType)
	if err != nil {
		return nil, err
	}
	if vmType = strings.TrimLeft(strings.TrimSpace(vmType), "-"); vmType != "" {
		args = append(args, "-"+vmType)
	}

	for i, arg := range in.Starter.Args {
		value, err := s.render(argSubject(i), arg.Value)
		if err != nil {
			return nil, err
		}
		// A JVM takes an empty argument for the name of the main class.
		if value != "" {
			args = append(args, value)
		}
	}
	for _, option := range in.Starter.XOptions {
		value, err := s.renderNamed("xoption "+quote(option.Name), option.Name, option.Value)
		if err != nil {
			return nil, err
		}
		args = append(args, "-X"+option.Name+value)
	}
	for _, option := range in.Starter.Options {
		subject := "option " + quote(option.Name)
		value, err := s.renderNamed(subject, option.Name, option.Value)
		if err != nil {
			return nil, err
		}
		if option.Name != "" {
			args = append(args, "-"+option.Name)
		}
		if value != "" {
			args = append(args, value)
		}
		switch option.Name {
		case "cp", "classpath", "-class-path":
			s.warnf("%s: the class path of libDirs comes after it and takes its place; add its folders to libDirs", subject)
		}
	}
	properties, err := s.properties(in)
	if err != nil {
		return nil, err
	}
	args = definitions(args, properties)

	entries, err := classPath(in, s)
	if err != nil {
		return nil, err
	}
	mainClass, err := s.render("mainClass", in.Starter.MainClass)
	if err != nil {
		return nil, err
	}
	if mainClass = strings.TrimSpace(mainClass); mainClass == "" {
		return nil, problemf(ErrInvalid, "mainClass is empty; name the class whose main is to run")
	}
	args = append(args, "-cp", entries, mainClass)

	words, err := Split(in.Starter.MainArgs)
	if err != nil {
		return nil, problemf(ErrInvalid, "args: %v", err)
	}
	for _, word := range words {
		value, err := s.render("args", word)
		if err != nil {
			return nil, err
		}
		if value != "" || word == "" {
			args = append(args, value)
		}
	}
	return args, nil
}

// javaProgram returns the Java launcher, and makes java.home known where the
// starter names one.
func javaProgram(in *Input, s *scope) (string, error) {
	home := in.JavaHome
	if in.Starter.JavaHome != "" {
		value, err := s.render("javaHome", in.Starter.JavaHome)
		if err != nil {
			return "", err
		}
		if value != "" {
			home = absolute(in.UserDir, value)
			s.facts["java.home"] = home
		}
	}
	program, err := s.render("javaCmd", in.Starter.JavaCmd)
	if err != nil {
		return "", err
	}
	if program == "" {
		program = "java"
	}
	if home == "" || strings.Contains(program, "/") {
		return program, nil
	}
	return path.Join(home, "bin", program), nil
}

// absolute returns a path relative to a folder as an absolute one.
func absolute(dir, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join(dir, name)
}

// argSubject names an <arg> in messages: by its place from 1, for it has no
// name, and its value may be a secret.
func argSubject(i int) string { return "arg " + strconv.Itoa(i+1) }
