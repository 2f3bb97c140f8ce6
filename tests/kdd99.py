"""KDD'99 10 % as tables: attack (1) against normal (0). Equal rows are on one side, since most rows of this set are copies."""
import gzip
import pathlib
import zlib

COLUMNS = (
    "duration,protocol_type,service,flag,src_bytes,dst_bytes,land,wrong_fragment,urgent,hot,num_failed_logins,logged_in,num_compromised,root_shell,"
    "su_attempted,num_root,num_file_creations,num_shells,num_access_files,num_outbound_cmds,is_host_login,is_guest_login,count,srv_count,serror_rate,"
    "srv_serror_rate,rerror_rate,srv_rerror_rate,same_srv_rate,diff_srv_rate,srv_diff_host_rate,dst_host_count,dst_host_srv_count,"
    "dst_host_same_srv_rate,dst_host_diff_srv_rate,dst_host_same_src_port_rate,dst_host_srv_diff_host_rate,dst_host_serror_rate,"
    "dst_host_srv_serror_rate,dst_host_rerror_rate,dst_host_srv_rerror_rate")


def write_tables(source, train, test, one_in=1):
    """kddcup.data_10_percent.gz to two CSV files with a header, a fifth of the different rows in the second; of every `one_in` different rows one."""
    with gzip.open(source, "rt") as lines, open(train, "w") as train_file, open(test, "w") as test_file:
        for file in (train_file, test_file):
            file.write(COLUMNS + ",attack\n")
        for line in lines:
            features, label = line.rstrip("\n").rsplit(",", 1)
            drawn = zlib.crc32(features.encode())
            if drawn // 5 % one_in == 0:
                (train_file if drawn % 5 else test_file).write(f"{features},{int(label != 'normal.')}\n")


def source_in(test_data):
    return pathlib.Path(test_data) / "kdd99/kddcup.data_10_percent.gz"
