// Forwards connections from listening sockets that it inherits (made on the host's loopback) into the network namespace in which it runs.
//
//	forward -server URL -ca FILE -token FILE 3=10.77.0.1:6443 4=monitoring/prometheus 5=serving/gateway:http
//
// FD=HOST:PORT is one fixed place; FD=NAMESPACE/SERVICE[:PORT-NAME] are the ready pods of a Service in turn, as a load
// balancer would: watched in the API, one that cannot be connected to is left aside for some seconds.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	connectWithin = 300 * time.Millisecond
	patience      = 2 * time.Second // for a place to be there at all
	asideFor      = 3 * time.Second
)

type slice struct {
	Metadata struct {
		Namespace, Name string
		Labels          map[string]string
	}
	Ports []struct {
		Name *string
		Port *int
	}
	Endpoints []struct {
		Addresses  []string
		Conditions struct{ Ready *bool }
	}
}

type places struct {
	sync.Mutex
	slices map[string]slice
	aside  map[string]time.Time
	turn   int
}

func (p *places) of(target string) []string {
	namespace, service, isService := strings.Cut(target, "/")
	if !isService {
		return []string{target}
	}
	service, port, _ := strings.Cut(service, ":")
	p.Lock()
	defer p.Unlock()
	var found []string
	for _, one := range p.slices {
		if one.Metadata.Namespace != namespace || one.Metadata.Labels["kubernetes.io/service-name"] != service {
			continue
		}
		for _, offered := range one.Ports {
			if offered.Port == nil || (port != "" && (offered.Name == nil || *offered.Name != port)) {
				continue
			}
			for _, endpoint := range one.Endpoints {
				if endpoint.Conditions.Ready != nil && *endpoint.Conditions.Ready {
					found = append(found, net.JoinHostPort(endpoint.Addresses[0], strconv.Itoa(*offered.Port)))
				}
			}
			break
		}
	}
	sort.Strings(found)
	p.turn++
	if len(found) > 0 {
		first := p.turn % len(found)
		found = append(found[first:], found[:first]...)
	}
	sort.SliceStable(found, func(i, j int) bool {
		return time.Since(p.aside[found[i]]) > asideFor && time.Since(p.aside[found[j]]) <= asideFor
	})
	return found
}

func (p *places) connect(target string) (net.Conn, error) {
	err := fmt.Errorf("%s: no ready endpoint", target)
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, address := range p.of(target) {
			var connection net.Conn
			if connection, err = net.DialTimeout("tcp", address, connectWithin); err == nil {
				return connection, nil
			}
			p.Lock()
			p.aside[address] = time.Now()
			p.Unlock()
		}
	}
	return nil, err
}

func pipe(from, to net.Conn, done chan<- struct{}) {
	io.Copy(to, from)
	to.(*net.TCPConn).CloseWrite()
	done <- struct{}{}
}

func (p *places) forward(client net.Conn, target string) {
	defer client.Close()
	server, err := p.connect(target)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	done := make(chan struct{}, 2)
	go pipe(client, server, done)
	go pipe(server, client, done)
	<-done
	<-done
}

// watch keeps the endpoint slices of the whole cluster, starting again wherever the API server ends or breaks it.
func (p *places) watch(client *http.Client, server, token string) error {
	request, err := http.NewRequestWithContext(context.Background(), "GET", server+"/apis/discovery.k8s.io/v1/endpointslices?watch=true", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("watch of endpoint slices: %s", response.Status)
	}
	p.Lock()
	p.slices = map[string]slice{}
	p.Unlock()
	for events := json.NewDecoder(response.Body); ; {
		var event struct {
			Type   string
			Object slice
		}
		if err := events.Decode(&event); err != nil {
			return err
		}
		key := event.Object.Metadata.Namespace + "/" + event.Object.Metadata.Name
		p.Lock()
		if event.Type == "DELETED" {
			delete(p.slices, key)
		} else {
			p.slices[key] = event.Object
		}
		p.Unlock()
	}
}

func listen(argument string) (net.Listener, string) {
	number, target, _ := strings.Cut(argument, "=")
	fd, err := strconv.Atoi(number)
	if err != nil {
		log.Fatalf("%s: got %q, expected FD=HOST:PORT or FD=NAMESPACE/SERVICE[:PORT-NAME]", argument, number)
	}
	listener, err := net.FileListener(os.NewFile(uintptr(fd), target))
	if err != nil {
		log.Fatalf("%s: %v", argument, err)
	}
	return listener, target
}

func main() {
	server := flag.String("server", "", "URL of the API server")
	ca := flag.String("ca", "", "file with the certificate that signed the API server's")
	tokenFile := flag.String("token", "", "file with a bearer token")
	flag.Parse()
	certificate, err := os.ReadFile(*ca)
	if err != nil {
		log.Fatal(err)
	}
	token, err := os.ReadFile(*tokenFile)
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certificate)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, IdleConnTimeout: time.Second}}

	p := &places{slices: map[string]slice{}, aside: map[string]time.Time{}}
	for _, argument := range flag.Args() {
		listener, target := listen(argument)
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					log.Fatal(err)
				}
				go p.forward(connection, target)
			}
		}()
	}
	for {
		if err := p.watch(client, *server, strings.TrimSpace(string(token))); err != nil && err != io.EOF {
			log.Print(err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}
