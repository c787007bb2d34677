#!/bin/sh
# Runs the user data of deploy/aws/simple.yaml for real, in a bare Debian root, until the predict command
# that the stack prints is answered; then ends the service, boots it again by what systemd was told, and
# asks once more. AWS is moto's server on loopback, booting is ours, the rest is what an instance does.
# As root, with debootstrap; five to twenty minutes. KEEP=yes leaves the root for looking into.
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || {
    echo 'This makes a root of its own, which only root may: run it with sudo.' >&2
    exit 1
}
command -v debootstrap >/dev/null || {
    echo "This needs debootstrap: install it with \`apt-get install debootstrap\`." >&2
    exit 1
}
base=.cache/prove/base
root=$PWD/.cache/prove/root
port=${PORT:-18080}
mirror=${MIRROR:-$(sed -n 's/^URIs: //p; s/^deb \(http[^ ]*\) .*/\1/p' /etc/apt/sources.list.d/*.sources \
    /etc/apt/sources.list 2>/dev/null | head -n 1)}

if [ ! -e "$base.made" ]; then
    echo 'Making a bare Debian root, once.'
    rm -rf "$base"
    mkdir -p "$base"
    # What Debian's image for clouds has beside the least: systemd, Python, certificates.
    debootstrap --variant=minbase --include=ca-certificates,python3,systemd,util-linux bookworm "$base" \
        ${mirror:+"$mirror"} >.cache/prove/debootstrap.log
    touch "$base.made"
fi

server='' moto=''
finish() {
    code=$?
    trap - EXIT
    [ -z "$server" ] || kill -- "-$server" 2>/dev/null || true
    [ -z "$moto" ] || kill "$moto" 2>/dev/null || true
    umount "$root/proc" "$root/dev/shm" "$root/dev/pts" "$root/dev" 2>/dev/null || true
    if [ -z "${KEEP-}" ] && ! grep -qs " $root" /proc/mounts; then
        rm -rf "$root"
    fi
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

say() {
    printf '== %s (%s s)\n' "$1" $(($(date +%s) - began))
}
began=$(date +%s)

# An AWS of our own.
endpoint_port=$(.venv/bin/python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=eu-central-1 AWS_DEFAULT_REGION=eu-central-1 \
    AWS_EC2_METADATA_DISABLED=true AWS_ENDPOINT_URL="http://127.0.0.1:$endpoint_port"
.venv/bin/python tests/cloud_server.py "$endpoint_port" >.cache/prove/moto.log 2>&1 &
moto=$!
.venv/bin/python - <<'PYTHON'
import time, boto3
from botocore.exceptions import EndpointConnectionError
# moto's CloudFormation knows no secrets: this is the one that the template has.
for _ in range(600):
    try:
        boto3.client("secretsmanager").create_secret(Name="proof/password", SecretString="only-of-this-proof")
        break
    except EndpointConnectionError:
        time.sleep(0.1)
PYTHON
.venv/bin/python deploy/aws/stack.py deploy simple --stack proof --set "Port=$port"
say 'the stack is made, the source in its bucket'

# The user data that AWS would start the instance with, and the command that the stack prints.
rm -rf "$root"
cp -a "$base" "$root"
.venv/bin/python - "$root/user-data" .cache/prove/predict.sh <<'PYTHON'
import base64, sys, boto3
from pathlib import Path
resources = boto3.client("cloudformation").describe_stack_resources(StackName="proof")["StackResources"]
instance = next(each["PhysicalResourceId"] for each in resources if each.get("LogicalResourceId") == "Instance")
data = boto3.client("ec2").describe_instance_attribute(InstanceId=instance, Attribute="userData")
script = base64.b64decode(data["UserData"]["Value"])
if not script.startswith(b"#!"):
    script = base64.b64decode(script)
Path(sys.argv[1]).write_bytes(script)
stack = boto3.client("cloudformation").describe_stacks(StackName="proof")["Stacks"][0]
outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
host = outputs["ApiUrl"].partition("//")[2].partition(":")[0]
Path(sys.argv[2]).write_text(outputs["FraudDetectionPredictCommand"].replace(host, "127.0.0.1") + "\n")
PYTHON
chmod 700 "$root/user-data"

# This machine's way to the network.
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/usr/local/share/this-machine.crt"
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$root/etc/"
[ ! -d /etc/apt/apt.conf.d ] || cp -n /etc/apt/apt.conf.d/*proxy* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
mount --bind /dev "$root/dev"
mount --make-private "$root/dev" # else what is mounted below would show in the machine itself
mount -t devpts devpts "$root/dev/pts" 2>/dev/null || true
mkdir -p "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t proc proc "$root/proc"

# setsid: what the root starts is ended as one group.
inside() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 SYSTEMD_OFFLINE=1 \
        PIP_CERT=/usr/local/share/this-machine.crt SSL_CERT_FILE=/usr/local/share/this-machine.crt \
        REQUESTS_CA_BUNDLE=/usr/local/share/this-machine.crt ${PIP_INDEX_URL:+"PIP_INDEX_URL=$PIP_INDEX_URL"} \
        AWS_ENDPOINT_URL="$AWS_ENDPOINT_URL" AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test \
        chroot "$root" "$@"
}
inside /user-data
say 'the user data has run'

# A boot: whatever systemd was told to start, as which user, with what; its sandbox is not ours to give.
unit=$root/etc/systemd/system/multi-user.target.wants/fraudloop.service
[ -L "$unit" ] || {
    echo 'The user data has not enabled fraudloop.service: it would not survive a reboot.' >&2
    exit 1
}
inside systemd-analyze verify /etc/systemd/system/fraudloop.service
boot() {
    file=$root/etc/systemd/system/fraudloop.service
    # shellcheck disable=SC2046  # words are meant
    set -- $(sed -n 's/^ExecStart=//p' "$file")
    environment=$(sed -n 's/^Environment=//p' "$file")
    user=$(sed -n 's/^User=//p' "$file")
    # shellcheck disable=SC2086  # words are meant
    setsid env -i PATH=/usr/bin:/bin LANG=C.UTF-8 $environment \
        chroot "$root" runuser -u "$user" -- "$@" >.cache/prove/service.log 2>&1 &
    server=$!
    tries=0
    until curl --silent --fail --output /dev/null "http://127.0.0.1:$port/ready"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "$server"; then
            cat .cache/prove/service.log >&2
            exit 1
        fi
        sleep 0.2
    done
}
predict() {
    sh .cache/prove/predict.sh
    echo
    without=$(curl --silent --output /dev/null --write-out '%{http_code}' --header 'Content-Type: application/json' \
        --data @deploy/aws/transaction.json "http://127.0.0.1:$port/predict")
    [ "$without" = 401 ] || {
        echo "Without its password the API answers $without." >&2
        exit 1
    }
}
boot
predict
say 'the printed command is answered'
kill -- "-$server"
wait "$server" 2>/dev/null || true
boot
predict
say 'and again after a reboot'
