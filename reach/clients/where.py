# Calls xds:///SERVICE all the time, and prints who answers, or "! " and the error, a line for each call.
import sys
import time

import grpc

channel = grpc.insecure_channel("xds:///" + sys.argv[1])
call = channel.unary_unary("/test.Where/Is")
while True:
    try:
        print(call(b"", wait_for_ready=True)[2:].decode(), flush=True)  # a StringValue
    except grpc.RpcError as e:
        print("!", e.code(), e.details(), flush=True)
    time.sleep(0.002)
