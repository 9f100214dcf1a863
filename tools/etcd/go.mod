module berth/tools/etcd

go 1.26.0
