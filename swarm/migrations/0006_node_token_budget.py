from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0005_node_story"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="node_token_budget",
            field=models.PositiveIntegerField(
                help_text="tokens that each node may use, all its attempts together", null=True
            ),
        ),
    ]
