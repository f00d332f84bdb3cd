// Fabric's own Node client under a closed loop. The first line of standard input says where and who; every
// further line is one run, answered by one line. Arguments are what the contracts take: one canonical JSON.
import { createPrivateKey, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import * as grpc from '@grpc/grpc-js';
import { connect, hash, signers } from '@hyperledger/fabric-gateway';

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const setting = JSON.parse((await lines.next()).value);

const channel = new grpc.Client(
    setting.address,
    grpc.credentials.createSsl(readFileSync(setting.tls_roots)),
    setting.server_name ? { 'grpc.ssl_target_name_override': setting.server_name } : {},
);
const gateway = connect({
    client: channel,
    hash: hash.sha256,
    identity: { mspId: setting.msp_id, credentials: readFileSync(setting.certificate) },
    signer: signers.newPrivateKeySigner(createPrivateKey(readFileSync(setting.key))),
});
const contract = gateway.getNetwork(setting.channel).getContract(setting.chaincode);

async function run({ name, count, bytes, in_flight }) {
    const values = Array.from({ length: 16 }, () => randomBytes(bytes / 2).toString('hex'));
    const times = [];
    let failed = 0;
    let next = 0;
    const cpu = process.cpuUsage();
    const started = performance.now();
    async function worker() {
        while (next < count) {
            const number = next++;
            const begin = performance.now();
            try {
                const argument = JSON.stringify({ key: `${name}/${number}`, value: values[number % 16] });
                await contract.submit(setting.function, { arguments: [argument] });
            } catch (error) {
                failed += 1;
                process.stderr.write(`${error}\n`);
            }
            times.push((performance.now() - begin) / 1000);
        }
    }
    await Promise.all(Array.from({ length: in_flight }, worker));
    const seconds = (performance.now() - started) / 1000;
    const used = process.cpuUsage(cpu);
    return { times, failed, seconds, cpu_s: (used.user + used.system) / 1e6 };
}

process.stdout.write('{"ready":true}\n');
for (let line = await lines.next(); !line.done; line = await lines.next()) {
    process.stdout.write(`${JSON.stringify(await run(JSON.parse(line.value)))}\n`);
}
gateway.close();
channel.close();
