// Emulated GPUs: a device plugin that offers COUNT of them to the kubelet of its node as nvidia.com/gpu.
//
//	gpus -node NAME -count COUNT -unhealthy FOLDER
//
// A file in FOLDER whose name is a GPU's index makes that GPU unhealthy for as long as it is there, as a fatal XID does.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	plugin "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const socket = "emulated-gpus.sock"

var (
	node      = flag.String("node", "", "name of the node, part of the GPUs' ids")
	count     = flag.Int("count", 2, "how many GPUs the node has")
	unhealthy = flag.String("unhealthy", "", "folder in which a file named 0 says that GPU 0 is unhealthy")
)

type gpus struct {
	plugin.UnimplementedDevicePluginServer
}

func (gpus) GetDevicePluginOptions(context.Context, *plugin.Empty) (*plugin.DevicePluginOptions, error) {
	return &plugin.DevicePluginOptions{}, nil
}

func devices() *plugin.ListAndWatchResponse {
	answer := &plugin.ListAndWatchResponse{}
	for index := range *count {
		health := plugin.Healthy
		if _, err := os.Stat(filepath.Join(*unhealthy, strconv.Itoa(index))); err == nil {
			health = plugin.Unhealthy
		}
		id := fmt.Sprintf("GPU-emulated-%s-%d", *node, index)
		answer.Devices = append(answer.Devices, &plugin.Device{ID: id, Health: health})
	}
	return answer
}

func (gpus) ListAndWatch(_ *plugin.Empty, stream plugin.DevicePlugin_ListAndWatchServer) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(*unhealthy); err != nil {
		return err
	}
	for {
		if err := stream.Send(devices()); err != nil {
			return err
		}
		select {
		case <-watcher.Events:
		case err := <-watcher.Errors:
			return err
		case <-stream.Context().Done():
			return nil
		}
	}
}

func (gpus) Allocate(_ context.Context, request *plugin.AllocateRequest) (*plugin.AllocateResponse, error) {
	answer := &plugin.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		visible := map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")}
		answer.ContainerResponses = append(answer.ContainerResponses, &plugin.ContainerAllocateResponse{Envs: visible})
	}
	return answer, nil
}

// serve offers the GPUs until the kubelet starts anew, which clears the folder of its plugins.
func serve() error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	defer watcher.Close()
	if err := watcher.Add(plugin.DevicePluginPath); err != nil {
		return err
	}
	path := filepath.Join(plugin.DevicePluginPath, socket)
	os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	plugin.RegisterDevicePluginServer(server, gpus{})
	go server.Serve(listener)
	defer server.Stop()

	connection, err := grpc.NewClient("unix://"+plugin.KubeletSocket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	request := &plugin.RegisterRequest{Version: plugin.Version, Endpoint: socket, ResourceName: "nvidia.com/gpu"}
	if _, err := plugin.NewRegistrationClient(connection).Register(ctx, request); err != nil {
		return err
	}
	log.Printf("%d emulated GPUs registered", *count)
	for {
		select {
		case event := <-watcher.Events:
			if event.Name == plugin.KubeletSocket && event.Has(fsnotify.Create) {
				return nil
			}
		case err := <-watcher.Errors:
			return err
		}
	}
}

func main() {
	flag.Parse()
	for {
		if err := serve(); err != nil {
			log.Print(err)
			time.Sleep(200 * time.Millisecond)
		}
	}
}
