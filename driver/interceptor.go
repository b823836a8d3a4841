package driver

import (
	"context"
	"fmt"
	"path"
	"runtime/debug"
	"time"

	"github.com/kubernetes-csi/csi-lib-utils/protosanitizer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/klog/v2"
)

// periodic are the calls that come every few seconds or minutes whether or not
// anything happens.
var periodic = map[string]bool{
	"Probe": true, "GetPluginInfo": true, "GetPluginCapabilities": true,
	"ControllerGetCapabilities": true, "NodeGetCapabilities": true,
	"NodeGetVolumeStats": true, "GetCapacity": true,
	"NodeGetVolumeHealth": true, "NodeGetStorageHealth": true,
}

// interceptor gives each call a logger, turns its error into a gRPC status and
// a panic into codes.Internal, logs one line about it and has it counted.
func interceptor(logger klog.Logger, observe func(method string, err error, took time.Duration)) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		method := path.Base(info.FullMethod)
		logger := logger.WithValues("method", method)
		start := time.Now()
		response, err := recovered(klog.NewContext(ctx, logger), request, handler)
		err = toStatus(err)
		took := time.Since(start)
		logCall(logger, method, request, took, err)
		if observe != nil {
			observe(info.FullMethod, err, took)
		}
		return response, err
	}
}

// recovered calls the handler and makes a panic an error.
func recovered(ctx context.Context, request any, handler grpc.UnaryHandler) (response any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			klog.FromContext(ctx).Error(fmt.Errorf("panic: %v", reason), "Call failed by a fault of the driver", "stack", string(debug.Stack()))
			response, err = nil, status.Error(codes.Internal, "a fault of the driver; see its log")
		}
	}()
	return handler(ctx, request)
}

// logCall logs a call after it ended. Secrets never reach the log.
func logCall(logger klog.Logger, method string, request any, took time.Duration, err error) {
	values := []any{
		"code", status.Code(err).String(),
		"duration", took.Round(time.Microsecond).String(),
		"request", protosanitizer.StripSecrets(request),
	}
	switch {
	case err != nil:
		logger.Error(err, "Call failed", values...)
	case periodic[method]:
		logger.V(5).Info("Call", values...)
	default:
		logger.Info("Call", values...)
	}
}
