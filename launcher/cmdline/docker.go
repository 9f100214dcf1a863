package cmdline

import (
	"cmp"
	"path"
	"strconv"
	"strings"

	"berth/descriptor"
)

// dockerOptions are the options of docker run for a container's settings.
var dockerOptions = map[string]string{
	"user": "--user", "networkMode": "--network", "macAddress": "--mac-address",
	"memory": "--memory", "memorySwap": "--memory-swap", "memorySwappiness": "--memory-swappiness", "oomKillDisable": "--oom-kill-disable",
	"cpuShares": "--cpu-shares", "cpuPeriod": "--cpu-period", "cpuQuota": "--cpu-quota", "cpuSetCpus": "--cpuset-cpus", "cpuSetMems": "--cpuset-mems",
	"blkioWeight": "--blkio-weight", "cgroupParent": "--cgroup-parent", "addHost": "--add-host",
}

// dockerArgs makes the arguments of a <docker> starter: docker run in the
// foreground, so that signals reach the container and its end is seen.
//
// Without networkMode the container has the host's network, as with Corus,
// unless ports are mapped: with the host's network there is nothing to map.
func dockerArgs(in *Input, s *scope) ([]string, error) {
	c := in.Starter.Container
	if c == nil {
		return nil, problemf(ErrInvalid, "<docker> says nothing of its container")
	}
	args := []string{"docker", "run"}
	// One that stays would be in the way of the next of its name.
	switch {
	case !c.AutoRemove && in.ContainerFile != "":
		args = append(args, "--cidfile="+in.ContainerFile)
	case c.AutoRemove && in.Container != "":
		args = append(args, "--rm", "--name", in.Container)
	case c.AutoRemove:
		args = append(args, "--rm")
	}
	settings := c.Settings
	if len(c.Ports) == 0 && !hasSetting(settings, "networkMode") {
		settings = append(settings[:len(settings):len(settings)], descriptor.Property{Name: "networkMode", Value: "host"})
	}
	for _, written := range settings {
		value, err := s.render(subject{kind: written.Name}, written.Value)
		if err != nil {
			return nil, err
		}
		if value = strings.TrimSpace(value); value != "" {
			args = append(args, dockerOptions[written.Name]+"="+value)
		}
	}
	args, err := dockerPorts(args, in, s)
	if err != nil {
		return nil, err
	}
	for _, written := range c.Volumes {
		value, err := dockerVolume(in, s, written)
		if err != nil {
			return nil, err
		}
		args = append(args, "-v", value)
	}
	if args, err = dockerEnv(args, in, s); err != nil {
		return nil, err
	}
	image, err := dockerImage(in, s)
	if err != nil {
		return nil, err
	}
	args = append(args, image)
	words, err := Split(c.Command)
	if err != nil {
		return nil, problemf(ErrInvalid, "command: %v", err)
	}
	return s.renderWords(args, "command", words)
}

func hasSetting(settings []descriptor.Property, name string) bool {
	for _, p := range settings {
		if p.Name == name {
			return true
		}
	}
	return false
}

// dockerImage is the image to run: the starter's, else the distribution's name
// and version.
func dockerImage(in *Input, s *scope) (string, error) {
	image, err := s.render(subject{kind: "image"}, in.Starter.Container.Image)
	if err != nil {
		return "", err
	}
	if image = strings.TrimSpace(image); image == "" {
		image = s.server["corus.distribution.name"] + ":" + s.server["corus.distribution.version"]
	}
	if strings.HasPrefix(image, "-") || strings.HasPrefix(image, ":") || strings.HasSuffix(image, ":") || strings.ContainsAny(image, " \t\n") {
		return "", problemf(ErrInvalid, "image: %s is not the name of one", quote(image))
	}
	return image, nil
}

// dockerPorts adds the port mappings, and says which leased port none has.
func dockerPorts(args []string, in *Input, s *scope) ([]string, error) {
	mapped := map[string]bool{}
	for _, written := range in.Starter.Container.Ports {
		of := subject{kind: "portMapping", name: written.Host + ":" + written.Container}
		host, err := s.render(of, written.Host)
		if err != nil {
			return nil, err
		}
		container, err := s.render(of, written.Container)
		if err != nil {
			return nil, err
		}
		host, container = strings.TrimSpace(host), strings.TrimSpace(container)
		hostNumber := host[strings.LastIndexByte(host, ':')+1:] // an address may stand before it
		containerNumber, protocol, given := strings.Cut(container, "/")
		for _, port := range []string{hostNumber, containerNumber} {
			if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
				return nil, problemf(ErrInvalid, "%s: %s is not a port from 1 to 65535", of, quote(port))
			}
		}
		if !given {
			for _, port := range in.Ports {
				if n, _ := strconv.Atoi(hostNumber); port.has(n) && port.Protocol == "udp" {
					container += "/udp"
					protocol = "udp"
				}
			}
		}
		mapped[orTCP(protocol)+hostNumber] = true
		args = append(args, "-p", host+":"+container)
	}
	if len(mapped) == 0 {
		return args, nil
	}
	for _, port := range in.Ports {
		for n := range port.count() {
			if number := strconv.Itoa(port.Number + n); !mapped[orTCP(port.Protocol)+number] {
				s.warnf("port %s of range %s is leased and has no portMapping: nothing of the container is on it", number, quote(port.Name))
			}
		}
	}
	return args, nil
}

func orTCP(protocol string) string {
	if protocol == "" {
		return "tcp"
	}
	return protocol
}

// dockerVolume is a volume mapping. A host's folder with a slash that is not
// absolute is one of the distribution; without a slash it is a volume's name.
func dockerVolume(in *Input, s *scope, written descriptor.VolumeMapping) (string, error) {
	of := subject{kind: "volumeMapping", name: written.Host}
	words, err := s.renderWords(nil, of.String(), []string{written.Host, written.Container, written.Permission})
	if err != nil {
		return "", err
	}
	if len(words) < 2 || words[0] == "" || words[1] == "" {
		return "", problemf(ErrInvalid, "%s: hostVolume or containerVolume is empty", of)
	}
	if strings.Contains(words[0], "/") {
		words[0] = absolute(in.UserDir, words[0])
	}
	for _, word := range words {
		if strings.Contains(word, ":") {
			return "", problemf(ErrInvalid, `%s: %s holds ":", which parts a mapping of docker`, of, quote(word))
		}
	}
	if !path.IsAbs(words[1]) {
		return "", problemf(ErrInvalid, "%s: containerVolume %s is not an absolute path", of, quote(words[1]))
	}
	if words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	return strings.Join(words, ":"), nil
}

// dockerEnv adds the environment of the container. A secret is only named, and
// handed over in the environment of docker run.
func dockerEnv(args []string, in *Input, s *scope) ([]string, error) {
	for _, written := range in.Starter.Container.Env {
		of := subject{"env", written.Name}
		name, err := s.render(of, written.Name)
		if err != nil {
			return nil, err
		}
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, problemf(ErrInvalid, "%s: it is no name of a variable", of)
		}
		value, secret, err := s.renderSecret(of, written.Value)
		if err != nil {
			return nil, err
		}
		switch {
		case !secret.isSome() && !IsHidden(name):
			args = append(args, "-e", name+"="+value)
		case name == "PATH" || name == "HOME" || strings.HasPrefix(name, "DOCKER_") || strings.HasPrefix(name, "BERTH_"):
			return nil, exposed(of, cmp.Or(secret, hides(name, fromStarter))) // docker run needs these for itself
		default:
			if strings.IndexByte(value, 0) >= 0 {
				return nil, problemf(ErrInvalid, "%s holds a NUL character", of)
			}
			s.environ.set(name, value)
			s.taint(name, secret)
			args = append(args, "-e", name)
		}
	}
	if in.InjectEnv {
		args = append(args, "-e", toolOptions)
	}
	return args, nil
}
