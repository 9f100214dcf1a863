package cmdline

import (
	"path"
	"strconv"
	"strings"
)

// javaArgs makes the arguments of a <java> starter.
func javaArgs(in *Input, s *scope) ([]string, error) {
	args, err := jvmArgs(in, s)
	if err != nil {
		return nil, err
	}
	all, err := s.properties(in)
	if err != nil {
		return nil, err
	}
	properties, err := visible(all)
	if err != nil {
		return nil, err
	}
	entries, err := classPath(in, s)
	if err != nil {
		return nil, err
	}
	args = append(definitions(args, properties), "-cp", strings.Join(entries, ":"))
	return s.mainArgs(args, in.Starter.MainClass, in.Starter.MainArgs)
}

// mainArgs appends the main class and the arguments of its main.
func (s *scope) mainArgs(args []string, class, arguments string) ([]string, error) {
	mainClass, err := s.render(subject{kind: "mainClass"}, class)
	if err != nil {
		return nil, err
	}
	if mainClass = strings.TrimSpace(mainClass); mainClass == "" {
		return nil, problemf(ErrInvalid, "mainClass is empty; name the class whose main is to run")
	}
	words, err := Split(arguments)
	if err != nil {
		return nil, problemf(ErrInvalid, "args: %v", err)
	}
	return s.renderWords(append(args, mainClass), "args", words)
}

// renderWords appends the words with their variables replaced. One that becomes
// empty by that is left out.
func (s *scope) renderWords(args []string, kind string, words []string) ([]string, error) {
	for _, word := range words {
		value, err := s.render(subject{kind: kind}, word)
		if err != nil {
			return nil, err
		}
		if value != "" || word == "" {
			args = append(args, value)
		}
	}
	return args, nil
}

// jvmArgs makes the first part of a JVM's command line, up to its properties.
func jvmArgs(in *Input, s *scope) ([]string, error) {
	program, err := javaProgram(in, s)
	if err != nil {
		return nil, err
	}
	args := []string{program}

	vmType, err := s.render(subject{kind: "vmType"}, in.Starter.VMType)
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
	for _, written := range in.Starter.XOptions {
		option, err := s.renderProperty(subject{"xoption", written.Name}, written)
		if err != nil {
			return nil, err
		}
		args = append(args, "-X"+option.Name+option.Value)
	}
	for _, written := range in.Starter.Options {
		of := subject{"option", written.Name}
		option, err := s.renderProperty(of, written)
		if err != nil {
			return nil, err
		}
		if option.Name != "" {
			args = append(args, "-"+option.Name)
		}
		if option.Value != "" {
			args = append(args, option.Value)
		}
		switch option.Name {
		case "cp", "classpath", "-class-path":
			s.warnf("%s: the class path of libDirs comes after it and takes its place; add its folders to libDirs", of)
		}
	}
	return args, nil
}

// javaProgram returns the Java launcher, and makes java.home known where the
// starter names one.
func javaProgram(in *Input, s *scope) (string, error) {
	home := in.JavaHome
	if in.Starter.JavaHome != "" {
		value, err := s.render(subject{kind: "javaHome"}, in.Starter.JavaHome)
		if err != nil {
			return "", err
		}
		if value != "" {
			home = absolute(in.UserDir, value)
			s.facts["java.home"] = home
		}
	}
	program, err := s.render(subject{kind: "javaCmd"}, in.Starter.JavaCmd)
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
func argSubject(i int) subject { return subject{kind: "arg " + strconv.Itoa(i+1)} }
